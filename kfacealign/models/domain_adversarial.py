"""The model of domain-adversarial training (DANN), the baseline that Sec. 4.5 of PIPNet's paper takes from classification.

In Ganin et al., "Domain-Adversarial Training of Neural Networks", 2016, a discriminator tells labelled from unlabelled faces by
the backbone's features. Through gradient reversal the backbone learns features by which they cannot be told apart.
"""

from typing import Any

import keras
from keras import ops

from kfacealign.layers.gradient_reversal import GradientReversal
from kfacealign.models.aligner import labels
from kfacealign.models.pipnet import PIPNet

HIDDEN = 512  # units of the discriminator


@keras.saving.register_keras_serializable(package="kfacealign")
class DomainAdversarialPIPNet(PIPNet):
    """PIPNet with a domain discriminator on the features that its head reads.

    The discriminator is gradient reversal, global average pooling, 512 units with ReLU, and the logit of "unlabelled". Its
    binary cross-entropy over all faces of a batch is the term `domain_loss`; PIPNet's own terms are computed of the labelled
    faces alone. Batches need the label `unlabelled` `(B,)`; without it, as in validation, the model is a PIPNet. Inference and
    exports never read the discriminator.

    Args:
        args: positional arguments of `PIPNet`, the scheme and the backbone.
        domain_weight: factor of the cross-entropy. In the authors' code it would be 1; the default is a tenth because PIPNet's
            terms here are a tenth of those there.
        kwargs: the other arguments of `PIPNet`.

    Attributes:
        reversal: the `GradientReversal` layer; `ReversalSchedule` sets its weight, which begins at 0.
    """

    extra_terms = ("domain_loss",)

    def __init__(self, *args: Any, domain_weight: float = 0.1, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.domain_weight = domain_weight
        self.reversal = GradientReversal(0.0, name="reversal")
        self.discriminator = discriminator(self.network.output["features"].shape[1:], self.reversal)

    def loss_terms(self, y: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
        if "unlabelled" not in y:
            return super().loss_terms(y, outputs)
        landmarks, weights = labels(y)
        unlabelled = ops.cast(y["unlabelled"], "float32")
        # The landmarks of unlabelled faces are placeholders, so their weights are set to 0.
        terms = super().loss_terms({"landmarks": landmarks, "weights": weights * (1.0 - unlabelled)[:, None]}, outputs)
        logits = ops.cast(self.discriminator(outputs["features"])[:, 0], "float32")
        entropy = ops.mean(ops.binary_crossentropy(unlabelled, logits, from_logits=True))
        terms["domain_loss"] = self.domain_weight * entropy
        return terms

    def compute_metrics(self, x: Any, y: dict[str, Any], y_pred: dict[str, Any], sample_weight: Any = None) -> dict[str, Any]:
        results = super().compute_metrics(x, y, y_pred, sample_weight)
        if "unlabelled" not in y:
            results.pop("domain_loss")  # nothing was measured
        return results

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "domain_weight": self.domain_weight}


def discriminator(shape: tuple[int, int, int], reversal: GradientReversal) -> keras.Model:
    """The network from features `(B, h, w, F)` of the given shape (h, w, F) to the logit `(B, 1)` of "unlabelled"."""
    features = keras.Input(shape, name="features")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(reversal(features))
    x = keras.layers.Dense(HIDDEN, activation="relu", name="hidden")(x)
    return keras.Model(features, keras.layers.Dense(1, name="domain")(x), name="discriminator")
