"""The notebooks in JupyterLab, in a real browser; ``make test-browser`` runs these tests, plain ``pytest`` does not."""
