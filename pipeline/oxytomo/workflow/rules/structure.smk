# Phase-contrast projections, phase maps or a volume to pores, cracks and their numbers.


rule read_volume:
    input:
        raw=structure_files("volume"),
    output:
        store=directory(f"{STAGES}/structure/volume.zarr"),
    log:
        f"{LOGS}/structure/read_volume.log",
    wildcard_constraints:
        sample=structure_samples("volume"),
    params:
        spec=spec("read_volume", "structure"),
    conda:
        environment
    threads: worth("read_volume", "structure")
    resources:
        mem_mb=memory("read_volume", "structure"),
        runtime=minutes("read_volume", "structure"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage read_volume"
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
    wildcard_constraints:
        sample=structure_samples("projections", "phase_maps"),
    params:
        inputs=keyed,
        spec=spec("retrieve_phase", "structure"),
    conda:
        environment
    threads: worth("retrieve_phase", "structure")
    resources:
        mem_mb=memory("retrieve_phase", "structure"),
        runtime=minutes("retrieve_phase", "structure"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage retrieve_phase"
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
    wildcard_constraints:
        sample=structure_samples("projections", "phase_maps"),
    params:
        inputs=keyed,
        spec=spec("reconstruct_structure", "structure"),
    conda:
        environment
    threads: worth("reconstruct_structure", "structure")
    resources:
        mem_mb=memory("reconstruct_structure", "structure"),
        runtime=minutes("reconstruct_structure", "structure"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage reconstruct_structure"
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
    params:
        spec=spec("segment_voids", "structure"),
    conda:
        environment
    threads: worth("segment_voids", "structure")
    resources:
        mem_mb=memory("segment_voids", "structure"),
        runtime=minutes("segment_voids", "structure"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage segment_voids"
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
    params:
        inputs=keyed,
        spec=spec("measure_voids", "structure"),
    conda:
        environment
    threads: worth("measure_voids", "structure")
    resources:
        mem_mb=memory("measure_voids", "structure"),
        runtime=minutes("measure_voids", "structure"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage measure_voids"
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
    params:
        inputs=keyed,
        spec=spec("export_structure", "structure"),
    conda:
        environment
    threads: worth("export_structure", "structure")
    resources:
        mem_mb=memory("export_structure", "structure"),
        runtime=minutes("export_structure", "structure"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage export_structure"
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
    params:
        inputs=keyed,
        spec=spec("export_meshes", "structure"),
    conda:
        environment
    threads: 1
    resources:
        mem_mb=memory("export_meshes", "structure"),
        runtime=minutes("export_meshes", "structure"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage export_meshes"
        " --label '{wildcards.sample} export_meshes'"
        " --in {params.inputs}"
        " --out meshes={output.meshes:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"
