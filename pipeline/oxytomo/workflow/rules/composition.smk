# Dual-energy tilt series or element maps to composition, classes and measures.


rule align:
    input:
        unpack(align_inputs("composition")),
    output:
        store=directory(f"{STAGES}/composition/align.zarr"),
        table=f"{RESULTS}{{sample}}/alignment.csv",
    log:
        f"{LOGS}/composition/align.log",
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
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage align"
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
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage decompose"
        " --label '{wildcards.sample} decompose'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


# A particle that is shared out to several jobs (reconstruct.parts): what its parts share, the parts, the new reference.


rule reconstruct_prepare:
    input:
        unpack(sinograms_and_pristine),
    output:
        store=directory(f"{STAGES}/composition/reconstruct_prepare.zarr"),
    log:
        f"{LOGS}/composition/reconstruct_prepare.log",
    params:
        inputs=keyed,
        spec=spec("reconstruct_prepare", "composition"),
    conda:
        environment
    threads: worth("reconstruct_prepare", "composition")
    resources:
        mem_mb=memory("reconstruct_prepare", "composition"),
        runtime=minutes("reconstruct_prepare", "composition"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage reconstruct_prepare"
        " --label '{wildcards.sample} reconstruct_prepare'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule reconstruct_part:
    input:
        decompose=f"{STAGES}/composition/decompose.zarr",
        prepare=f"{STAGES}/composition/reconstruct_prepare.zarr",
    output:
        store=directory(f"{STAGES}/composition/reconstruct_part/{{job}}.zarr"),
    log:
        f"{LOGS}/composition/reconstruct_part_{{job}}.log",
    params:
        inputs=keyed,
        spec=job_spec("reconstruct_part", "composition"),
    conda:
        environment
    threads: worth("reconstruct_part", "composition")
    resources:
        mem_mb=memory("reconstruct_part", "composition"),
        runtime=minutes("reconstruct_part", "composition"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage reconstruct_part"
        " --label '{wildcards.sample} reconstruct_part {wildcards.job}'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule reconstruct_join:
    input:
        unpack(solved_parts),
        decompose=f"{STAGES}/composition/decompose.zarr",
        prepare=f"{STAGES}/composition/reconstruct_prepare.zarr",
    output:
        store=directory(f"{STAGES}/composition/reconstruct_join.zarr"),
    log:
        f"{LOGS}/composition/reconstruct_join.log",
    params:
        inputs=keyed,
        spec=spec("reconstruct_join", "composition"),
    conda:
        environment
    threads: worth("reconstruct_join", "composition")
    resources:
        mem_mb=memory("reconstruct_join", "composition"),
        runtime=minutes("reconstruct_join", "composition"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage reconstruct_join"
        " --label '{wildcards.sample} reconstruct_join'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule reconstruct_refine:
    input:
        decompose=f"{STAGES}/composition/decompose.zarr",
        prepare=f"{STAGES}/composition/reconstruct_prepare.zarr",
        join=f"{STAGES}/composition/reconstruct_join.zarr",
    output:
        store=directory(f"{STAGES}/composition/reconstruct_refine/{{job}}.zarr"),
    log:
        f"{LOGS}/composition/reconstruct_refine_{{job}}.log",
    params:
        inputs=keyed,
        spec=job_spec("reconstruct_refine", "composition"),
    conda:
        environment
    threads: worth("reconstruct_refine", "composition")
    resources:
        mem_mb=memory("reconstruct_refine", "composition"),
        runtime=minutes("reconstruct_refine", "composition"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage reconstruct_refine"
        " --label '{wildcards.sample} reconstruct_refine {wildcards.job}'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule reconstruct:
    input:
        unpack(reconstruct_inputs),
    output:
        store=directory(f"{STAGES}/composition/reconstruct.zarr"),
    log:
        f"{LOGS}/composition/reconstruct.log",
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
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage reconstruct"
        " --label '{wildcards.sample} reconstruct'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule replicate:
    input:
        decompose=f"{STAGES}/composition/decompose.zarr",
        reconstruct=f"{STAGES}/composition/reconstruct.zarr",
    output:
        store=directory(f"{STAGES}/composition/replicate/{{job}}.zarr"),
    log:
        f"{LOGS}/composition/replicate_{{job}}.log",
    params:
        inputs=keyed,
        spec=job_spec("replicate", "composition"),
    conda:
        environment
    threads: worth("replicate", "composition")
    resources:
        mem_mb=memory("replicate", "composition"),
        runtime=minutes("replicate", "composition"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage replicate"
        " --label '{wildcards.sample} replicate {wildcards.job}'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule uncertainty:
    input:
        unpack(replicates),
        decompose=f"{STAGES}/composition/decompose.zarr",
        reconstruct=f"{STAGES}/composition/reconstruct.zarr",
    output:
        store=directory(f"{STAGES}/composition/uncertainty.zarr"),
    log:
        f"{LOGS}/composition/uncertainty.log",
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
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage uncertainty"
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
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage classify"
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
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage measure"
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
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage export_composition"
        " --label '{wildcards.sample} export_composition'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"
