from .errors import NME as NME, nme as nme, normalized_errors as normalized_errors, normalizer as normalizer, nrmse as nrmse, point_variance as point_variance
from .distribution import auc as auc, ced as ced, failure_rate as failure_rate
from .stability import jitter as jitter
