"""The workbench: from labelled images to a signed-off INT8 model package.

Nothing here runs on the device, and the device imports nothing from here. `quantize.recipe` reads
top to bottom; every other module is one of its stages.
"""
