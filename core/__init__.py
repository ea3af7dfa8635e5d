"""Midband's engine: everything but the pages. Imports no streamlit and runs headless (`python -m core`).

Rooms, in the order the data flows; a room imports only from those before it:
errors, settings, progress, files, database, workspace, datasets, synthetic, classifiers, activations,
concepts, retraining, export, jobs, command line.
"""
