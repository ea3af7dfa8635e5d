"""Load: a dataset, a model (brought or trained here), and one button."""

from pages.parts import bring_data, bring_model, extract, head

head.show("load", "Point Midband at your images and your model. Nothing leaves this machine.")

if not extract.shown_instead():
    looked = bring_data.ask()
    if looked is not None:
        extract.button(looked, bring_model.ask(looked))
