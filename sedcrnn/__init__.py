"""Audio-visual scene classification with squeeze-excitation convolutional recurrent networks.

The data flow, which is also the order in which to read the package:

    datasets     where clips come from: a folder in TAU layout, or the synthetic set that is rendered into one
    clips        clip records, scenes and locations; train, validation and test folds
    features     sound -> gammatone spectrogram, video -> frames at 5 fps; the content-addressed store
    datamodule   aligned 1-s windows of both, in batches of named tensors
    networks     pure torch: audio (scSE CNN), visual (VGG16 + BiGRU), fusion (early and late)
    pretrained   published weights of frame encoders, from the files that people have (weights: the command)
    modules      the LightningModules: one shared base, and what audio, visual and fusion add to it
    train        one stage, from a resolved config to a run folder (checkpoints, runs: what that folder holds)
    pipeline     the stages in order, each reused when nothing that made it has changed
    evaluation   predictions per window and clip, DCASE's metrics, the table beside the published figures
"""

__version__ = "0.1.0"
