"""Maps of resonant inelastic X-ray scattering: emission line, yields, differences, valences."""
