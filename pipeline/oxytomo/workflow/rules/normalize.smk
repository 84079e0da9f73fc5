# Raw frames of one series to optical density or signal, with variance.
rule normalize:
    input:
        raw=raw_inputs,
    output:
        store=directory(f"{STAGES}/{{branch}}/normalize/{{series}}.zarr"),
    wildcard_constraints:
        branch="composition|areal_density|tomogram|structure",
    log:
        f"{LOGS}/{{branch}}/normalize_{{series}}.log",
    params:
        spec=normalize_spec,
    conda:
        environment
    threads: worth("normalize")
    resources:
        mem_mb=memory("normalize"),
        runtime=minutes("normalize"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage normalize"
        " --label '{wildcards.sample} normalize {wildcards.series}'"
        " --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"
