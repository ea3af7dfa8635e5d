"""Load: a dataset, a model (brought or trained here), and one button."""

from pages.parts import bring_data, bring_model, extract, theme

theme.heading("Load", "Point Midband at your images and your model. Nothing leaves this machine.")

if not extract.shown_instead():
    dataset = bring_data.ask()
    if dataset is not None:
        choice = bring_model.ask(dataset)
        extract.button(dataset, choice)
