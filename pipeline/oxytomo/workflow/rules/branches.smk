# Composition and structure of the same particle, registered to each other: voids beside oxygen-poor domains.
rule register_branches:
    input:
        reconstruct=f"{STAGES}/composition/reconstruct.zarr",
        uncertainty=f"{STAGES}/composition/uncertainty.zarr",
        classify=f"{STAGES}/composition/classify.zarr",
        voids=f"{STAGES}/structure/voids.zarr",
    output:
        store=directory(f"{STAGES}/{JOINT_STORE}"),
        branches=f"{RESULTS}{{sample}}/branches.json",
        distances=f"{RESULTS}{{sample}}/voids_and_domains.csv",
        neighbourhoods=f"{RESULTS}{{sample}}/void_neighbourhoods.csv",
    log:
        f"{LOGS}/branches/register_branches.log",
    params:
        inputs=keyed,
        spec=joint_spec,
    conda:
        environment
    threads: 4
    resources:
        mem_mb=memory(JOINT_STAGE, "composition"),
        runtime=minutes(JOINT_STAGE, "composition"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage register_branches"
        " --label '{wildcards.sample} register_branches'"
        " --in {params.inputs} --out store={output.store:q} branches={output.branches:q}"
        " distances={output.distances:q} neighbourhoods={output.neighbourhoods:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"
