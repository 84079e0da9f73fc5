"""What the reported quantities mean, in one sentence each; written into ``phases.json``."""

DEFINITIONS = {
    "fractions": "voxels of a class / voxels of the solid particle that have a deviation",
    "target": "abs((TM/O) / reference - 1) is at most the threshold",
    "oxygen_poor": "(TM/O) / reference - 1 is above the threshold",
    "oxygen_rich": "(TM/O) / reference - 1 is below minus the threshold",
    "ci95": "value ± t s, with s the standard deviation of the fraction over the noise replicates and t of "
    "Student's distribution for their number, clipped to [0, 1]; noise only, without replicate_bias; null "
    "with fewer than two replicates",
    "replicate_bias": "mean of the fraction over the noise replicates - value: how far noise and "
    "reconstruction shift the fraction",
    "null": "the same particle with uniform composition, the same noise and the same processing: mean of its "
    "runs, and the interval where the fraction of one run lies",
    "confident": "classes that are certain with the given confidence in spite of noise; other voxels are "
    "undecided",
    "domains": "sets of voxels of one class that are connected through faces (6-connectivity)",
    "n_domains": "number of domains of at least min_domain_voxels voxels",
    "largest_share": "voxels of the largest domain / voxels of the class",
    "spanning": "the largest domain reaches over at least 90 % of the particle's length along z, y or x",
    "shells": "shells of equal volume by Euclidean distance to the outer surface, from rim to centre; closed "
    "voids make no surface; shell_outer and shell_inner are the nominal share of the volume outside each "
    "limit, in percent",
    "depth": "Euclidean distance of a voxel's centre to the outer surface of the particle",
    "centroid": "measured from the centre of the volume's first voxel",
    "invalid_rays": "unsolved: rays without a composition, of n_rays; by_series: invalid pixels of each raw "
    "series by reason",
}
