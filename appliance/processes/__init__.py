"""The processes of the appliance: receive, worker and courier; the pages are `web`'s own.

Each is ``python -m appliance.processes.NAME`` and shares nothing with the others but the store.
"""
