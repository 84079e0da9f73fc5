# Pages: one report per sample, and one comparison of the groups of samples.


rule report:
    input:
        sample_results,
    output:
        report=report(
            f"{RESULTS}{{sample}}/report.html",
            category="Reports",
            labels={"sample": "{sample}", "file": "report.html"},
        ),
    log:
        f"{LOGS}/report.log",
    conda:
        environment
    threads: STAGES["report"].threads
    resources:
        mem_mb=report_memory,
        runtime=30,
    params:
        inputs=sample_folder,
        spec=report_spec,
    shell:
        stage_command(
            "report --label '{wildcards.sample} report' --in {params.inputs} --out report={output.report:q}"
        )


rule comparison:
    input:
        compared_results,
    output:
        report=report(
            f"{RESULTS}comparison.html",
            category="Comparison",
            labels={"file": "comparison.html"},
        ),
        tables=[report(f"{RESULTS}{table}", category="Comparison", labels={"file": table}) for table in comparison_tables(PROJECT)],
    log:
        f"{RESULTS}logs/comparison.log",
    conda:
        environment
    threads: STAGES["comparison"].threads
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        results=shlex.quote(f"results={RESULTS or '.'}"),
        spec=stage_spec("comparison", comparison_settings(PROJECT)),
    shell:
        stage_command("comparison --label comparison --in {params.results} --out report={output.report:q}")
