"""Load: a dataset, a model (brought or trained here), and one button."""

from core.access.policy import Permission
from pages.parts import bring_data, bring_model, extract, gate, head

head.show("load", "Point Midband at your images and your model. Nothing leaves this machine.")

if not gate.closed(Permission.LOAD) and not extract.shown_instead():
    looked = bring_data.ask()
    if looked is not None:
        extract.button(looked, bring_model.ask(looked))
