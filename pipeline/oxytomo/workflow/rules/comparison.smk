# One page and tables that compare the samples of the groups.
rule comparison:
    input:
        compared_results,
    output:
        report=f"{RESULTS}comparison.html",
        tables=[f"{RESULTS}{table}" for table in COMPARISON_TABLES],
    log:
        f"{RESULTS}logs/comparison.log",
    params:
        results=shlex.quote(f"results={RESULTS or '.'}"),
        spec=stage_spec("comparison", comparison_settings(PROJECT)),
    conda:
        environment
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage comparison"
        " --label comparison"
        " --in {params.results} --out report={output.report:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"
