# Two energies per edge at one angle to maps of areal density.


use rule align as align_areal_density with:
    input:
        unpack(align_inputs("areal_density")),
    output:
        store=directory(f"{STAGES}/areal_density/align.zarr"),
        table=f"{STAGES}/areal_density/alignment.csv",
    log:
        f"{LOGS}/areal_density/align.log",
    params:
        inputs=keyed,
        spec=spec("align", "areal_density"),
    threads: worth("align", "areal_density")
    resources:
        mem_mb=memory("align", "areal_density"),
        runtime=minutes("align", "areal_density"),


use rule decompose as decompose_areal_density with:
    input:
        align=f"{STAGES}/areal_density/align.zarr",
    output:
        store=directory(f"{STAGES}/areal_density/decompose.zarr"),
    log:
        f"{LOGS}/areal_density/decompose.log",
    params:
        inputs=keyed,
        spec=spec("decompose", "areal_density"),
    threads: worth("decompose", "areal_density")
    resources:
        mem_mb=memory("decompose", "areal_density"),
        runtime=minutes("decompose", "areal_density"),


rule export_areal_density:
    input:
        decompose=f"{STAGES}/areal_density/decompose.zarr",
        align=f"{STAGES}/areal_density/align.zarr",
    output:
        store=directory(f"{RESULTS}{{sample}}/areal_density.ome.zarr"),
    log:
        f"{LOGS}/areal_density/export_areal_density.log",
    params:
        inputs=keyed,
        spec=spec("export_areal_density", "areal_density"),
    conda:
        environment
    threads: worth("export_areal_density", "areal_density")
    resources:
        mem_mb=memory("export_areal_density", "areal_density"),
        runtime=minutes("export_areal_density", "areal_density"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage export_areal_density"
        " --label '{wildcards.sample} export_areal_density'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"
