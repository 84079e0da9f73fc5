# The workflow on the demo configuration, or on any other: snakemake --cores 2 --configfile X.yaml
if not config:

    configfile: f"{workflow.basedir}/configs/demo.yaml"


include: "pipeline/oxytomo/workflow/Snakefile"


localrules:
    everything,


rule everything:
    input:
        rules.all.input,
