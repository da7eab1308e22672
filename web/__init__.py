"""The pages of the appliance: a Flask app in a process of its own."""
