# One rule per stage and branch, from the registry; the series of a branch share one rule.
# Snakemake reads the shell command when a job starts, so it must not use variables of the loop.


for row, branch in STAGE_RULES:

    rule:
        name:
            rule_name(row, branch)
        input:
            unpack(inputs_of(row, branch)),
        output:
            **outputs_of(row, branch),
        log:
            log_of(row, branch),
        wildcard_constraints:
            sample=samples_pattern(row),
            branch="|".join(row.branches or [JOINT_FOLDER]),
        conda:
            environment
        threads: worth(row, branch)
        resources:
            mem_mb=memory(row, branch),
            runtime=minutes(row, branch),
        params:
            call=call_of(row),
            spec=spec(row, branch),
        shell:
            stage_command("{params.call}")
