"""The stages of the workflow.

Each reads its inputs, calls numerical code, and writes its outputs.
"""
