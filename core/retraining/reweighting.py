"""Methods that need no tag: images weigh by their class, or by what the old head makes of them."""

from __future__ import annotations

import numpy as np

from core.classifiers.softmax import softmax
from core.concepts.probes import cell_weights
from core.progress import Progress
from core.retraining.fitting import L2, fit_towards, pull
from core.retraining.interface import Fitted, Knob, Material, Settings

# AFR: how much more an image weighs the less likely the old head finds its class
AFR_GAMMA = 4.0
# SELF: images taken per image that the old head gets wrong; with fewer right ones among them the head turns over
SELF_TIMES_WRONG = 3.0
SELF_L2 = 1.0
# SELF: fewest images per class
SELF_FEWEST = 20
# SELF: random masks whose disagreement is averaged
MASKS = 20
# JTT: how much more an image weighs that the old head gets wrong
JTT_FACTOR = 20.0

CLASS_BALANCED_KNOBS = (pull(L2),)
AFR_KNOBS = (
    Knob(
        "gamma",
        "Gamma",
        AFR_GAMMA,
        0.0,
        50.0,
        help="How much more an image weighs the less likely the old head finds its class; 0 balances the classes only.",
    ),
    pull(L2),
)
SELF_KNOBS = (
    Knob(
        "variant",
        "Images chosen by",
        "misclassification",
        choices=("misclassification", "dropout"),
        help="Take the images with the highest loss, or those whose prediction changes most when features drop out.",
    ),
    Knob(
        "times_wrong",
        "Images per wrong one",
        SELF_TIMES_WRONG,
        0.5,
        100.0,
        help="How many images are fitted on for every held-out image that the old head gets wrong.",
    ),
    Knob(
        "dropout",
        "Share of features dropped",
        0.5,
        0.05,
        0.95,
        help="For the dropout variant: which part of the features each random mask leaves out.",
    ),
    pull(SELF_L2),
)
JTT_KNOBS = (
    Knob(
        "factor",
        "Weight of wrong images",
        JTT_FACTOR,
        1.0,
        1000.0,
        unit="×",
        help="How many times more an image weighs that the old head gets wrong; 1 treats all alike.",
    ),
    pull(L2),
)


def fit_erm(material: Material, settings: Settings, rng: np.random.Generator, progress: Progress) -> Fitted:
    """Empirical risk minimisation as it was: the old head."""
    return Fitted(material.pool.head, notes=("The classifier as it is: nothing was retrained.",))


def fit_class_balanced(material: Material, settings: Settings, rng: np.random.Generator, progress: Progress) -> Fitted:
    """LaBonte et al. 2023 (arXiv:2309.08534), section 4, class-balanced last-layer retraining: weights in place of
    their class-balanced minibatches, and a pull towards the old head where they stop early."""
    pool = material.pool.only_eligible()
    return Fitted(fit_towards(pool, np.arange(len(pool)), cell_weights(pool.labels), l2=settings["pull"]))


def fit_afr(material: Material, settings: Settings, rng: np.random.Generator, progress: Progress) -> Fitted:
    """Qiu et al. 2023 (arXiv:2306.11074), section 4: weights beta_y exp(-gamma p_y), p_y the old head's probability of
    the true class, beta balancing the classes; the fit is pulled towards the old head.

    They train the network on 80% of train and reweight the rest; here the held-out images are the rest. They tune gamma
    and the pull with group labels, which are not used here: both are fixed.
    """
    pool = material.pool.only_eligible()
    likely = softmax(pool.logits)[np.arange(len(pool)), pool.labels]
    weights = np.exp(-settings["gamma"] * likely) * cell_weights(pool.labels)
    return Fitted(fit_towards(pool, np.arange(len(pool)), weights, l2=settings["pull"]))


def fit_self(material: Material, settings: Settings, rng: np.random.Generator, progress: Progress) -> Fitted:
    """LaBonte et al. 2023 (arXiv:2309.08534), section 5, SELF: a class-balanced fit on few held-out images, staying
    close to the old head.

    misclassification: those with the highest loss. dropout: those where the old head and the old head on randomly
    masked features disagree most (Kullback-Leibler divergence, mean over masks; they use one). Their third and best,
    disagreement with an early-stopped network, needs a checkpoint that a finished classifier does not come with. They
    tune how many and how close with group labels, which are not used here: both are fixed.
    """
    pool = material.pool.only_eligible()
    wrong = int((pool.logits.argmax(axis=1) != pool.labels).sum())
    if settings["variant"] == "dropout":
        score = _disagreement(pool.features, pool.logits, pool.head.weight, pool.head.bias, settings["dropout"], rng)
    else:
        score = -np.log(np.maximum(softmax(pool.logits)[np.arange(len(pool)), pool.labels], 1e-12))
    most = max(round(settings["times_wrong"] * wrong), SELF_FEWEST * pool.k)
    chosen = np.argsort(-score, kind="stable")[:most]
    return Fitted(
        fit_towards(pool, chosen, cell_weights(pool.labels[chosen]), l2=settings["pull"]),
        notes=(f"SELF fitted on {len(chosen)} held-out images, of which the old head gets {wrong} wrong.",),
        chosen={"images": len(chosen)},
    )


def _disagreement(
    features: np.ndarray,
    logits: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    share: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """KL(old head || old head on masked features), mean over random masks: (n,) float64."""
    plain = softmax(logits)
    total = np.zeros(len(features))
    for _ in range(MASKS):
        kept = np.greater_equal(rng.random(features.shape[1]), share).astype(np.float32) / np.float32(1 - share)
        masked = softmax(features @ (weight * kept).T + bias)
        total += (plain * np.log(np.maximum(plain, 1e-12) / np.maximum(masked, 1e-12))).sum(axis=1)
    return total / MASKS


def fit_jtt(material: Material, settings: Settings, rng: np.random.Generator, progress: Progress) -> Fitted:
    """After Liu et al. 2021 (arXiv:2107.09044), section 4, "just train twice": images that the first model gets wrong
    weigh more in the second.

    They train the whole network twice, on train, and take the errors of one stopped early; here the errors are those of
    the old head on held-out images, which it has not learnt by heart, and only the last layer is fitted again, pulled
    towards the old one. They tune the factor with group labels; here it is fixed.
    """
    pool = material.pool.only_eligible()
    wrong = np.not_equal(pool.logits.argmax(axis=1), pool.labels)
    count = int(wrong.sum())
    weights = np.where(wrong, settings["factor"], 1.0)
    return Fitted(
        fit_towards(pool, np.arange(len(pool)), weights, l2=settings["pull"]),
        notes=(f"{count} of {len(pool)} held-out images weigh {settings['factor']:g} times as much.",),
        chosen={"wrong": count},
    )
