# One page per sample from the products and stores of its branches.
rule report:
    input:
        sample_results,
    output:
        report=f"{RESULTS}{{sample}}/report.html",
    log:
        f"{LOGS}/report.log",
    params:
        inputs=sample_folder,
        spec=report_spec,
    conda:
        environment
    threads: 2
    resources:
        mem_mb=report_memory,
        runtime=30,
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage report"
        " --label '{wildcards.sample} report'"
        " --in {params.inputs} --out report={output.report:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"
