# One tilt series to a plain volume.


use rule align as align_tomogram with:
    input:
        unpack(align_inputs("tomogram")),
    output:
        store=directory(f"{STAGES}/tomogram/align.zarr"),
        table=f"{STAGES}/tomogram/alignment.csv",
    log:
        f"{LOGS}/tomogram/align.log",
    params:
        inputs=keyed,
        spec=spec("align", "tomogram"),
    threads: worth("align", "tomogram")
    resources:
        mem_mb=memory("align", "tomogram"),
        runtime=minutes("align", "tomogram"),


rule reconstruct_tomogram:
    input:
        align=f"{STAGES}/tomogram/align.zarr",
    output:
        store=directory(f"{STAGES}/tomogram/reconstruct.zarr"),
    log:
        f"{LOGS}/tomogram/reconstruct_tomogram.log",
    params:
        inputs=keyed,
        spec=spec("reconstruct_tomogram", "tomogram"),
    conda:
        environment
    threads: worth("reconstruct_tomogram", "tomogram")
    resources:
        mem_mb=memory("reconstruct_tomogram", "tomogram"),
        runtime=minutes("reconstruct_tomogram", "tomogram"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage reconstruct_tomogram"
        " --label '{wildcards.sample} reconstruct_tomogram'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule export_tomogram:
    input:
        reconstruct=f"{STAGES}/tomogram/reconstruct.zarr",
    output:
        store=directory(f"{RESULTS}{{sample}}/tomogram.ome.zarr"),
    log:
        f"{LOGS}/tomogram/export_tomogram.log",
    params:
        inputs=keyed,
        spec=spec("export_tomogram", "tomogram"),
    conda:
        environment
    threads: worth("export_tomogram", "tomogram")
    resources:
        mem_mb=memory("export_tomogram", "tomogram"),
        runtime=minutes("export_tomogram", "tomogram"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage export_tomogram"
        " --label '{wildcards.sample} export_tomogram'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"
