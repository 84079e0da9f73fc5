"""``oxytomo stage``: run one stage on given inputs; the rules of the workflow call it."""

from oxytomo.run.stage_command import DESCRIPTION, EXAMPLES, add_arguments, run

__all__ = ["DESCRIPTION", "EXAMPLES", "add_arguments", "run"]
