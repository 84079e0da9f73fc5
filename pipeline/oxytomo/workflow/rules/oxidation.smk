# Stacks through absorption edges to valence maps, shells, profiles and models.


rule normalize_stack:
    input:
        raw=raw_inputs,
    output:
        store=directory(f"{STAGES}/{{branch}}/normalize/{{series}}.zarr"),
    wildcard_constraints:
        branch="oxidation",
    log:
        f"{LOGS}/{{branch}}/normalize_{{series}}.log",
    params:
        spec=series_spec("normalize_stack", "oxidation"),
    conda:
        environment
    threads: worth("normalize_stack", "oxidation")
    resources:
        mem_mb=memory("normalize_stack", "oxidation"),
        runtime=minutes("normalize_stack", "oxidation"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage normalize_stack"
        " --label '{wildcards.sample} normalize {wildcards.series}'"
        " --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule register_stack:
    input:
        normalize=f"{STAGES}/oxidation/normalize/{{series}}.zarr",
    output:
        store=directory(f"{STAGES}/oxidation/register/{{series}}.zarr"),
    log:
        f"{LOGS}/oxidation/register_{{series}}.log",
    params:
        inputs=keyed,
        spec=series_spec("register_stack", "oxidation"),
    conda:
        environment
    threads: worth("register_stack", "oxidation")
    resources:
        mem_mb=memory("register_stack", "oxidation"),
        runtime=minutes("register_stack", "oxidation"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage register_stack"
        " --label '{wildcards.sample} register {wildcards.series}'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule fit_valence:
    input:
        register=f"{STAGES}/oxidation/register/{{series}}.zarr",
        references=stack_references,
    output:
        store=directory(f"{STAGES}/oxidation/fit/{{series}}.zarr"),
    log:
        f"{LOGS}/oxidation/fit_{{series}}.log",
    params:
        spec=series_spec("fit_valence", "oxidation"),
    conda:
        environment
    threads: worth("fit_valence", "oxidation")
    resources:
        mem_mb=memory("fit_valence", "oxidation"),
        runtime=minutes("fit_valence", "oxidation"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage fit_valence"
        " --label '{wildcards.sample} fit {wildcards.series}'"
        " --in register={input.register:q} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule measure_oxidation:
    input:
        unpack(fitted_stacks),
    output:
        store=directory(f"{STAGES}/oxidation/measure.zarr"),
        shells=f"{RESULTS}{{sample}}/oxidation_shells.csv",
        particles=f"{RESULTS}{{sample}}/oxidation_particles.csv",
        profiles=f"{RESULTS}{{sample}}/oxidation_profiles.csv",
        summary=f"{RESULTS}{{sample}}/oxidation.json",
    log:
        f"{LOGS}/oxidation/measure_oxidation.log",
    params:
        inputs=keyed,
        spec=spec("measure_oxidation", "oxidation"),
    conda:
        environment
    threads: worth("measure_oxidation", "oxidation")
    resources:
        mem_mb=memory("measure_oxidation", "oxidation"),
        runtime=minutes("measure_oxidation", "oxidation"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage measure_oxidation"
        " --label '{wildcards.sample} measure_oxidation'"
        " --in {params.inputs} --out store={output.store:q} shells={output.shells:q} particles={output.particles:q}"
        " profiles={output.profiles:q} summary={output.summary:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"


rule export_oxidation:
    input:
        unpack(only_fits),
        measure=f"{STAGES}/oxidation/measure.zarr",
    output:
        store=directory(f"{RESULTS}{{sample}}/oxidation.ome.zarr"),
    log:
        f"{LOGS}/oxidation/export_oxidation.log",
    params:
        inputs=keyed,
        spec=spec("export_oxidation", "oxidation"),
    conda:
        environment
    threads: worth("export_oxidation", "oxidation")
    resources:
        mem_mb=memory("export_oxidation", "oxidation"),
        runtime=minutes("export_oxidation", "oxidation"),
    shell:
        "${{OXYTOMO_PYTHON:-python}} -P -m oxytomo stage export_oxidation"
        " --label '{wildcards.sample} export_oxidation'"
        " --in {params.inputs} --out store={output.store:q}"
        " --spec {params.spec:q} --threads {threads} --log {log:q}"
