# Phase-contrast projections, phase maps or a volume to pores, cracks and their numbers.

# Voids are sought and measured in slabs: beyond this the memory does not grow with the volume.
SLABS_MB = 5000


rule read_volume:
    input:
        raw=structure_files("volume"),
    output:
        store=directory(f"{STAGES}/structure/volume.zarr"),
    log:
        f"{LOGS}/structure/read_volume.log",
    benchmark:
        f"{BENCHMARKS}/structure/read_volume.tsv"
    wildcard_constraints:
        sample=structure_samples("volume"),
    params:
        spec=spec("read_volume", "structure"),
    conda:
        environment
    threads: 2
    resources:
        mem_mb=memory("structure", 8),
        runtime=60,
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage read_volume"
        " --label '{wildcards.sample} read_volume'"
        " --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule retrieve_phase:
    input:
        unpack(normalized("structure")),
    output:
        store=directory(f"{STAGES}/structure/retrieve_phase.zarr"),
    log:
        f"{LOGS}/structure/retrieve_phase.log",
    benchmark:
        f"{BENCHMARKS}/structure/retrieve_phase.tsv"
    wildcard_constraints:
        sample=structure_samples("projections", "phase_maps"),
    params:
        inputs=keyed,
        spec=spec("retrieve_phase", "structure"),
    conda:
        environment
    threads: MANY_THREADS
    resources:
        mem_mb=memory("structure", 2),
        runtime=720,
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage retrieve_phase"
        " --label '{wildcards.sample} retrieve_phase'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule reconstruct_structure:
    input:
        retrieve_phase=f"{STAGES}/structure/retrieve_phase.zarr",
    output:
        store=directory(f"{STAGES}/structure/volume.zarr"),
    log:
        f"{LOGS}/structure/reconstruct_structure.log",
    benchmark:
        f"{BENCHMARKS}/structure/reconstruct_structure.tsv"
    wildcard_constraints:
        sample=structure_samples("projections", "phase_maps"),
    params:
        inputs=keyed,
        spec=spec("reconstruct_structure", "structure"),
    conda:
        environment
    threads: MANY_THREADS
    resources:
        mem_mb=memory("structure", 8),
        runtime=720,
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage reconstruct_structure"
        " --label '{wildcards.sample} reconstruct_structure'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule segment_voids:
    input:
        volume=f"{STAGES}/structure/volume.zarr",
        mask=structure_files("mask"),
    output:
        store=directory(f"{STAGES}/structure/voids.zarr"),
    log:
        f"{LOGS}/structure/segment_voids.log",
    benchmark:
        f"{BENCHMARKS}/structure/segment_voids.tsv"
    params:
        spec=spec("segment_voids", "structure"),
    conda:
        environment
    threads: 4
    resources:
        mem_mb=memory("structure", 16, most=SLABS_MB),
        runtime=120,
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage segment_voids"
        " --label '{wildcards.sample} segment_voids'"
        " --in volume={input.volume:q}"
        " --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule measure_voids:
    input:
        volume=f"{STAGES}/structure/volume.zarr",
        voids=f"{STAGES}/structure/voids.zarr",
    output:
        pores=f"{RESULTS}{{sample}}/pores.csv",
        cracks=f"{RESULTS}{{sample}}/cracks.csv",
        structure=f"{RESULTS}{{sample}}/structure.json",
    log:
        f"{LOGS}/structure/measure_voids.log",
    benchmark:
        f"{BENCHMARKS}/structure/measure_voids.tsv"
    params:
        inputs=keyed,
        spec=spec("measure_voids", "structure"),
    conda:
        environment
    threads: 4
    resources:
        mem_mb=memory("structure", 16, most=SLABS_MB),
        runtime=120,
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage measure_voids"
        " --label '{wildcards.sample} measure_voids'"
        " --in {params.inputs}"
        " --out pores={output.pores:q} cracks={output.cracks:q} structure={output.structure:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule export_structure:
    input:
        volume=f"{STAGES}/structure/volume.zarr",
        voids=f"{STAGES}/structure/voids.zarr",
    output:
        store=directory(f"{RESULTS}{{sample}}/structure.ome.zarr"),
    log:
        f"{LOGS}/structure/export_structure.log",
    benchmark:
        f"{BENCHMARKS}/structure/export_structure.tsv"
    params:
        inputs=keyed,
        spec=spec("export_structure", "structure"),
    conda:
        environment
    threads: 2
    resources:
        mem_mb=memory("structure", 8),
        runtime=60,
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage export_structure"
        " --label '{wildcards.sample} export_structure'"
        " --in {params.inputs}"
        " --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule export_meshes:
    input:
        voids=f"{STAGES}/structure/voids.zarr",
        pores=f"{RESULTS}{{sample}}/pores.csv",
        cracks=f"{RESULTS}{{sample}}/cracks.csv",
    output:
        meshes=directory(f"{RESULTS}{{sample}}/meshes"),
    log:
        f"{LOGS}/structure/export_meshes.log",
    benchmark:
        f"{BENCHMARKS}/structure/export_meshes.tsv"
    params:
        inputs=keyed,
        spec=spec("export_meshes", "structure"),
    conda:
        environment
    threads: 1
    resources:
        mem_mb=memory("structure", 8),
        runtime=60,
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m pipeline stage export_meshes"
        " --label '{wildcards.sample} export_meshes'"
        " --in {params.inputs}"
        " --out meshes={output.meshes:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"
