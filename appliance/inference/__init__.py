"""Running a network: the engines behind one protocol, and the predictor that the pipeline holds."""
