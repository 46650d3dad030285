"""The model of domain-adversarial training (DANN), the baseline from classification that Sec. 4.5 of PIPNet's paper compares with.

Ganin et al., "Domain-Adversarial Training of Neural Networks", 2016: a discriminator tells labelled from unlabelled
faces by the backbone's features, and through gradient reversal the backbone learns features that do not tell.
"""

import keras
from keras import ops

from kfacealign.layers.gradient_reversal import GradientReversal
from kfacealign.models.aligner import labels
from kfacealign.models.pipnet import PIPNet

HIDDEN = 512  # units of the discriminator


@keras.saving.register_keras_serializable(package="kfacealign")
class DomainAdversarialPIPNet(PIPNet):
    """PIPNet with a domain discriminator on the features that its head reads.

    The discriminator is gradient reversal, global average pooling, 512 units with ReLU, and the logit of "unlabelled".
    Its binary cross-entropy over all faces of a batch is the term `domain_loss`; the terms of PIPNet are those of the
    labelled faces alone. Batches need the label `unlabelled` `(B,)`; without it, as in validation, the model is a
    PIPNet. Inference and exports never read the discriminator.

    Args:
        domain_weight: factor of the cross-entropy. The default takes into account that the terms of PIPNet are a tenth
            of those of the authors' code, beside which it would be 1.
        others: as `PIPNet`.

    Attributes:
        reversal: the `GradientReversal` layer; `ReversalSchedule` sets its weight, which begins at 0.
    """

    extra_terms = ("domain_loss",)

    def __init__(self, *args, domain_weight=0.1, **kwargs):
        super().__init__(*args, **kwargs)
        self.domain_weight = domain_weight
        self.reversal = GradientReversal(0.0, name="reversal")
        self.discriminator = discriminator(self.network.output["features"].shape[1:], self.reversal)

    def loss_terms(self, y, outputs):
        if "unlabelled" not in y:
            return super().loss_terms(y, outputs)
        landmarks, weights = labels(y)
        unlabelled = ops.cast(y["unlabelled"], "float32")
        # The landmarks of unlabelled faces are placeholders.
        terms = super().loss_terms({"landmarks": landmarks, "weights": weights * (1.0 - unlabelled)[:, None]}, outputs)
        logits = ops.cast(self.discriminator(outputs["features"])[:, 0], "float32")
        entropy = ops.mean(ops.binary_crossentropy(unlabelled, logits, from_logits=True))
        terms["domain_loss"] = self.domain_weight * entropy
        return terms

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        results = super().compute_metrics(x, y, y_pred, sample_weight)
        if "unlabelled" not in y:
            results.pop("domain_loss")  # nothing was measured
        return results

    def get_config(self):
        return {**super().get_config(), "domain_weight": self.domain_weight}


def discriminator(shape, reversal):
    """Features of this shape (h, w, F) -> the logit `(B, 1)` that a face is unlabelled."""
    features = keras.Input(shape, name="features")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(reversal(features))
    x = keras.layers.Dense(HIDDEN, activation="relu", name="hidden")(x)
    return keras.Model(features, keras.layers.Dense(1, name="domain")(x), name="discriminator")
