"""Definitions of the numbers of the scattering branch, one sentence each."""

SCATTERING_DEFINITIONS = {
    "TFY": "total fluorescence yield: all detected photons of an excitation, with the elastic line / relative incident flux",
    "PFY": "partial fluorescence yield: photons in the emission window less the elastic line / relative incident flux",
    "sPFY": "super-partial fluorescence yield: as PFY, in a narrow window of one feature",
    "iPFY": "1 / photons per flux in a window of another element: follows the total absorption without saturation",
    "PFY corrected": "absorption by the edge that gives the PFY in a flat uniform sample of the given formula, density, "
    "thickness and angles / its tabulated mean above the edge",
    "value": "photons per mean incident flux; columns in their own unit",
    "standard_error": "from the number of photons, the strength of the elastic line and the error of the flux; for columns from "
    "the scatter of neighbouring points",
    "emission_offset_ev": "recorded emission energy of the elastic line − excitation energy; subtracted from the emission scale "
    "(the setting of this name is added, so it has the other sign)",
    "fwhm_ev": "full width at half maximum of the elastic line: the resolution of beamline and spectrometer together",
    "scale_error_ev": "standard error of the emission scale",
    "change": "(emission in the feature / rest) of the second map / that of the first − 1; the rest is all other emission "
    "outside the elastic line; with scale flux the division by the rest is left out",
    "counting_error": "standard error of the change from the numbers of photons and the error of the flux",
    "calibration_error": "standard error of the change from the errors of both emission scales",
    "scan_error": "standard error of the change from the scatter of repeated scans, no smaller than the counting error; null if "
    "a map has one scan",
    "standard_error of a change": "the larger of counting_error and scan_error, and calibration_error",
    "sigma": "logarithm of second / first over its standard error",
    "test": "what is redistributed at random for the p-value: scans, if both maps have several, otherwise photons; scans, Welch: "
    "with so few scans that no redistribution reaches the level, a t-test of Welch over the scans",
    "p_value": "probability of a change at least as large without a difference: scans or photons of both maps redistributed at "
    "random, errors of the emission scales added; null if only photons are known and the excitations of the maps differ",
    "feature_share": "emission in the feature / all other emission of its map outside the elastic line",
    "detected": "p_value is at most the level",
    "elsewhere": "root mean square of the change over its counting error in windows of the same size elsewhere in the map; about "
    "1 if the maps agree there within counting errors",
    "difference": "second map × factor − first map, in photons per mean flux of the first; the factor makes the rest equal",
    "mean_valence": "Σ fraction × valence of the references that fit the yield",
    "valence_per_0_1_ev": "change of the mean valence when the excitation energies move up by 0.1 eV",
    "depth": "bulk for fluorescence (about 100 nm), surface for electrons (5 to 10 nm)",
}
