# One rule per stage and branch, by the rows of the registry; the series of a branch share one rule.


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
            **params_of(row, branch),
        shell:
            command_of_stage(row, branch)
