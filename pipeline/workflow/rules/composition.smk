# Dual-energy tilt series or element maps to composition, classes and measures.


rule align:
    input:
        unpack(align_inputs("composition")),
    output:
        store=directory(f"{STAGES}/composition/align.zarr"),
        table=f"{RESULTS}{{sample}}/alignment.csv",
    log:
        f"{LOGS}/composition/align.log",
    benchmark:
        f"{BENCHMARKS}/composition/align.tsv"
    params:
        inputs=keyed,
        spec=spec("align", "composition"),
    conda:
        environment
    threads: worth("align", "composition")
    resources:
        mem_mb=memory("align", "composition"),
        runtime=minutes("align", "composition"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage align"
        " --label '{wildcards.sample} align'"
        " --in {params.inputs} --out store={output.store:q} table={output.table:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule decompose:
    input:
        align=f"{STAGES}/composition/align.zarr",
    output:
        store=directory(f"{STAGES}/composition/decompose.zarr"),
    log:
        f"{LOGS}/composition/decompose.log",
    benchmark:
        f"{BENCHMARKS}/composition/decompose.tsv"
    params:
        inputs=keyed,
        spec=spec("decompose", "composition"),
    conda:
        environment
    threads: worth("decompose", "composition")
    resources:
        mem_mb=memory("decompose", "composition"),
        runtime=minutes("decompose", "composition"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage decompose"
        " --label '{wildcards.sample} decompose'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule reconstruct:
    input:
        unpack(reconstruct_inputs),
    output:
        store=directory(f"{STAGES}/composition/reconstruct.zarr"),
    log:
        f"{LOGS}/composition/reconstruct.log",
    benchmark:
        f"{BENCHMARKS}/composition/reconstruct.tsv"
    params:
        inputs=keyed,
        spec=spec("reconstruct", "composition"),
    conda:
        environment
    threads: worth("reconstruct", "composition")
    resources:
        mem_mb=memory("reconstruct", "composition"),
        runtime=minutes("reconstruct", "composition"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage reconstruct"
        " --label '{wildcards.sample} reconstruct'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule uncertainty:
    input:
        decompose=f"{STAGES}/composition/decompose.zarr",
        reconstruct=f"{STAGES}/composition/reconstruct.zarr",
    output:
        store=directory(f"{STAGES}/composition/uncertainty.zarr"),
    log:
        f"{LOGS}/composition/uncertainty.log",
    benchmark:
        f"{BENCHMARKS}/composition/uncertainty.tsv"
    params:
        inputs=keyed,
        spec=spec("uncertainty", "composition"),
    conda:
        environment
    threads: worth("uncertainty", "composition")
    resources:
        mem_mb=memory("uncertainty", "composition"),
        runtime=minutes("uncertainty", "composition"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage uncertainty"
        " --label '{wildcards.sample} uncertainty'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule classify:
    input:
        reconstruct=f"{STAGES}/composition/reconstruct.zarr",
        uncertainty=f"{STAGES}/composition/uncertainty.zarr",
    output:
        store=directory(f"{STAGES}/composition/classify.zarr"),
    log:
        f"{LOGS}/composition/classify.log",
    benchmark:
        f"{BENCHMARKS}/composition/classify.tsv"
    params:
        inputs=keyed,
        spec=spec("classify", "composition"),
    conda:
        environment
    threads: worth("classify", "composition")
    resources:
        mem_mb=memory("classify", "composition"),
        runtime=minutes("classify", "composition"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage classify"
        " --label '{wildcards.sample} classify'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule measure:
    input:
        decompose=f"{STAGES}/composition/decompose.zarr",
        reconstruct=f"{STAGES}/composition/reconstruct.zarr",
        uncertainty=f"{STAGES}/composition/uncertainty.zarr",
        classify=f"{STAGES}/composition/classify.zarr",
    output:
        phases=f"{RESULTS}{{sample}}/phases.json",
        domains=f"{RESULTS}{{sample}}/domains.csv",
        shells=f"{RESULTS}{{sample}}/composition_shells.csv",
    log:
        f"{LOGS}/composition/measure.log",
    benchmark:
        f"{BENCHMARKS}/composition/measure.tsv"
    params:
        inputs=keyed,
        spec=spec("measure", "composition"),
    conda:
        environment
    threads: worth("measure", "composition")
    resources:
        mem_mb=memory("measure", "composition"),
        runtime=minutes("measure", "composition"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage measure"
        " --label '{wildcards.sample} measure'"
        " --in {params.inputs} --out phases={output.phases:q} domains={output.domains:q} shells={output.shells:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule export_composition:
    input:
        reconstruct=f"{STAGES}/composition/reconstruct.zarr",
        uncertainty=f"{STAGES}/composition/uncertainty.zarr",
        classify=f"{STAGES}/composition/classify.zarr",
    output:
        store=directory(f"{RESULTS}{{sample}}/composition.ome.zarr"),
    log:
        f"{LOGS}/composition/export_composition.log",
    benchmark:
        f"{BENCHMARKS}/composition/export_composition.tsv"
    params:
        inputs=keyed,
        spec=spec("export_composition", "composition"),
    conda:
        environment
    threads: worth("export_composition", "composition")
    resources:
        mem_mb=memory("export_composition", "composition"),
        runtime=minutes("export_composition", "composition"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage export_composition"
        " --label '{wildcards.sample} export_composition'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"
