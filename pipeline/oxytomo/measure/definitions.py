"""Definitions of the reported quantities, one sentence each; written into ``phases.json``."""

DEFINITIONS = {
    "fractions": "voxels of a class / voxels of the solid particle that have a deviation",
    "counted_voxel_nm": "edge of the cube over which the deviation was averaged, within the particle, before classes were drawn",
    "whole_particle": "median and most frequent deviation of the particle's voxels; off_target: the median is beyond the "
    "threshold although the formula is the reference, so that a wrong formula or cross-section is likely",
    "tm_per_o": "metal atoms per oxygen atom that the most frequent deviation means; tm_per_o_of_formula: of the formula",
    "relative_density": "median density of the voxels / that of the formula at the stated mass density, both elements alike; "
    "pores below the resolution make it smaller",
    "metal_per_oxygen": "amount of each metal per oxygen in the whole particle / that of the formula",
    "fractions_against_own_mode": "fractions of classes with the particle's most frequent TM/O as reference; only where "
    "the whole particle is off",
    "likely_cause": "spectra: the model of the spectra fails; metal:X: the particle has another share of metal X than the "
    "formula; metals: several metals do; oxygen: all metals depart alike from oxygen",
    "target": "abs((TM/O) / reference - 1) is at most the threshold",
    "oxygen_poor": "(TM/O) / reference - 1 is above the threshold",
    "oxygen_rich": "(TM/O) / reference - 1 is below minus the threshold",
    "ci95": "value ± 1.42 sqrt(s^2 + b^2 + a^2 + m^2), clipped to [0, 1]: s the standard deviation of the fraction over the "
    "noise replicates, b the replicate_bias, a the change when the borders of the class move by 0.1 voxel, m a domain of 113 "
    "voxels that leaves no trace; the factor covers the truth of 95 % of simulated acquisitions; then widened by what a shift "
    "of all deviations by the systematic errors does (error_budget), and by the other readings; null with fewer than two "
    "replicates",
    "error_budget": "standard deviations of the deviation, relative: noise_and_reconstruction of a voxel (median); by fitted "
    "term, for the mean misfit that the model leaves, and for what differs from ray to ray, a shift of all voxels. "
    "Shifts are part of sigma, of "
    "phases_confident and of the intervals of fractions",
    "readings": "fractions by another reading of the data. carbonate_skin: the carbon that lies around the particle like a skin "
    "is Li2CO3, and its oxygen is not counted; the intervals hold this reading too, and sigma its difference. "
    "rim_in_the_wedge_like_elsewhere: where the normal of the surface lies in the missing wedge, each layer of the rim is as "
    "where the normal is measured. borders_at_half_height: the borders of classes are sharp, and lie at half of the deviation "
    "beside them. outline_further_out and _in: the outline lies 0.15 voxel further out or in. These three add to the intervals "
    "in quadrature. without_<term>: without one term that the data ask for, the others fitted again, and reconstructed again; "
    "no part of the intervals",
    "damage": "change of total metal over total oxygen (tm_o) and of the spread of the mass along the tilt axis (size) from the "
    "first frame of a series to the last, relative, beside terms of the path length and of an inclined tilt axis; both "
    "sums are the same in every frame of an undamaged particle; found: beyond four standard errors and 0.003; by_frame: the "
    "sums themselves, in the order of acquisition",
    "told_from_path_length": "the path length explains at most 0.8 of the variance of the order of acquisition",
    "model": "of the decomposition, on rays averaged over 4 x 4 pixels without strong gradients: chi-square per degree of "
    "freedom (1 where the model explains the spectra down to noise), what was fitted and with which error, mean residual of "
    "each series",
    "ci68": "the same with 0.56 in place of 1.42, for 68 %",
    "replicate_bias": "mean of the fraction over the noise replicates - value: how far noise and "
    "reconstruction shift the fraction",
    "null": "the same particle with uniform composition, the same noise and the same processing: mean of its "
    "runs; ci95 is where one run of several lies",
    "confident": "classes that are certain with the given confidence in spite of noise; other voxels are "
    "undecided, and so is a single voxel of its class at the particle's surface",
    "domains": "sets of voxels of one class that are connected through faces (6-connectivity)",
    "n_domains": "number of domains of at least min_domain_voxels voxels",
    "largest_share": "voxels of the largest domain / voxels of the class",
    "mean_deviation": "mean of the deviation over the voxels of a domain or shell",
    "mean_deviation_error": "standard error of a domain's mean_deviation, as standard_error of a shell; a shift that all voxels "
    "share (error_budget) is not in it, and not a number with fewer than two replicates",
    "association": "which metal makes a class: metal per oxygen in the voxels of the class, divided by the same in the target "
    "class, - 1; fitted to the measured rays with the oxygen of each class as its shape; for the whole class and for its part in "
    "each shell, both relative to the target of all depths; null for fewer than 27 voxels. standard_error: sqrt((2 j)^2 + (0.1 "
    "value)^2), j a delete-one jackknife over eight blocks of slices, 0.1 for the borders of the class, which move all metals "
    "alike; null where the class is in fewer than four blocks",
    "spanning": "the largest domain reaches over at least 90 % of the particle's length along z, y or x",
    "shells": "shells of equal volume by Euclidean distance to the outer surface, from rim to centre; closed "
    "voids make no surface; shell_outer and shell_inner are the nominal share of the volume outside each "
    "limit, in percent",
    "standard_error": "of a shell's mean deviation: 2.3 sqrt((t s)^2 + b^2), s the standard deviation of that mean over the "
    "noise replicates, t Student's factor for their number (1.20 for four), b their mean less the measured one; "
    "standard_error_from is none, and it is not a number, with fewer than two replicates",
    "standard_deviation": "of the deviations of a shell's voxels",
    "depth": "Euclidean distance of a voxel's centre to the outer surface of the particle",
    "centroid": "measured from the centre of the volume's first voxel",
    "resolution": "full period where the Fourier shell correlation of the mean density of TM and O, by filtered "
    "back-projection of the odd and of the even tilts, falls below the half-bit curve; twice the voxel where it "
    "never does; tilt_axis, across_beam and along_beam: within 25 degrees of these directions, the beam being "
    "that of the middle tilt (the missing wedge is along it)",
    "solver": "of the deviation: residual is how far the conditions of the minimum are missed / what noise does to the gradient "
    "(rms); misfit is the weighted squared residual per measured value, 1 where the deviation explains the data down to noise",
    "invalid_rays": "unsolved: rays without a composition, of n_rays; by_series: invalid pixels of each raw "
    "series by reason",
}

OXIDATION_DEFINITIONS = {
    "mean_valence": "mean over pixels of the valence of each pixel, sum of fraction times valence of the references",
    "standard_error": "of a mean: from the errors of its pixels (photon noise, scaled up by sqrt(chi-square) where the "
    "references leave more than noise); energy scale, references and normalisation are not in it",
    "standard_deviation": "of the pixels' valences",
    "weighted_valence": "mean weighted by the edge jump: the valence per atom of the element",
    "spectrum_valence": "fit of the mean spectrum of the shell: the constraint to positive fractions hardly biases it",
    "structured_residual": "root mean square of the residuals of a mean spectrum beyond its noise / that of the "
    "spectrum without background",
    "shells": "shells of equal area in each agglomerate by the distance to its outer edge, from rim to centre; "
    "shell_outer and shell_inner are the nominal share of the area outside each limit, in percent",
    "valence_per_0_1_ev": "change of the mean valence when the energies of the stack move up by 0.1 eV",
    "models": "fits to the valence of the largest agglomerate against the area outside, seen along the beam through a "
    "sphere: dt_nm2 is D times t of vacancy diffusion, shell_nm the thickness of a reacted shell; smaller bic explains "
    "the profile better",
    "edge_jump": "optical density by which the spectrum rises through the edge: proportional to the element's amount",
}

MECHANICS_DEFINITIONS = {
    "stress": "linear elasticity of a free particle, isotropic, small strains; lithium makes it swell; tension is positive",
    "amplitude_mpa": "E e / (1 - nu) times x' R^2 / D: e is the linear strain when the lithium content goes from 0 to 1, x' "
    "its growth per second, R the radius of a sphere with the volume of the particle; stress is this times the shape factor",
    "shape_factor": "stress / amplitude: only the geometry and Poisson's ratio enter",
    "beside_voids": "voxels of full solid one to two voxels off the surface of a pore",
    "first_principal": "largest principal stress, which opens cracks",
    "von_mises": "equivalent stress of von Mises",
    "hydrostatic": "mean of the three normal stresses",
    "hoop": "mean of the two normal stresses along a sphere about the centre of the particle",
    "surface_hoop": "mean of the two normal stresses along the surface of a pore, there 3/2 of the hydrostatic stress; a "
    "straight line from voxels one to three voxels off the surface, mean over the pore",
    "raised_by_voids": "95th percentile of the first principal stress beside the pores / the same at these places in the solid "
    "without voids and cracks",
    "geometry_error": "relative change of the 95th percentile of the first principal stress beside the pores: with voxels twice "
    "as large (half_resolution), and over voids that were found again in noisier volumes (noise: standard deviation, "
    "noise_bias: mean change)",
    "range": "factor by which stress changes over the range of a constant in the literature; a scale that all stresses share",
    "other_wetted": "relative change if lithium enters at other surfaces: skin, the outer surface; open, also voids and cracks "
    "open to it; all, every surface",
    "a": "R^2 x' / 6 D / range of the lithium content: above 1 a dry sphere cannot sustain the current",
    "sustained": "all lithium contents are within 0 and 1; otherwise the stress is calculated as if "
    "contents could go beyond these limits",
    "k_mpa_sqrt_m": "stress intensity factor K_I along the front of a crack, from its opening behind the front; 0 where the "
    "faces close",
    "k_over_kc": "K_I / K_Ic; it says how far a front is from the fracture toughness, not that it grows",
    "bridge": "solid between a pore and the nearest other pore or crack; below four voxels its stress is not resolved",
    "ideal": "sphere with the volume of the particle and a central void of R / 16, by closed solutions",
    "without_voids": "the same outer surface filled with solid, in its steady state",
}

NEIGHBOURHOOD_DEFINITIONS = {
    "mean_distance_nm": "mean over the voxels of a class of the distance of their centres to the centre of the nearest voxel "
    "of a pore (half void or more), of a crack (touched by it) or of either (void); to the surface: depth below the skin of "
    "the structure's particle",
    "expected": "the same over all voxels of the particle that are as deep (layers of one voxel); for the surface, over all",
    "chance95": "where 95 % of random placements lie: the pattern of the class turned as a whole at random about the particle's "
    "centre, less the mean of each depth; null for the surface, whose distance is the depth, and without voids",
    "p_value": "share of the placements as far from expected as the measured value, or farther",
    "null_run": "the same for the classes that noise and reconstruction alone make in a particle of uniform composition; what "
    "is near voids there is an artefact",
    "near_share": "share of the voxels of a class that are within near_nm of a void",
    "near_mean_deviation": "mean deviation of voxels outside voids and within near_nm of one",
    "neighbourhood": "voxels of a void_neighbourhoods row: outside voids, within near_nm of this void and nearer to it than to "
    "any other",
    "standard_error": "of the mean deviation of a neighbourhood, from the noise replicates: 2.3 sqrt((t s)^2 + b^2), s its "
    "standard deviation over them, t Student's factor for their number, b their mean less the measured one; the error of "
    "the registration is not in it",
    "expected_deviation": "mean deviation of all voxels of the particle as deep as those of the neighbourhood",
}
