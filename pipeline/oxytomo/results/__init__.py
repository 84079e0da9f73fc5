"""Read the results of samples."""

from oxytomo.results.collecting import collect as collect
from oxytomo.results.numbers import Number as Number
from oxytomo.results.opening import open_results as open_results
from oxytomo.results.results import Results as Results
from oxytomo.results.results import ResultsFolder as ResultsFolder
