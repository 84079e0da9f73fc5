"""The results of samples in one place: arrays, tables, numbers, warnings, definitions, provenance, images."""

from oxytomo.results.numbers import Number as Number
from oxytomo.results.opening import open_results as open_results
from oxytomo.results.results import Results as Results
from oxytomo.results.results import ResultsFolder as ResultsFolder
