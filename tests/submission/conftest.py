"""A submission of twelve files that keeps every rule."""

from pathlib import Path

import pytest
import torch
from sedcrnn.submission.check import meta_file, output_file
from sedcrnn.submission.meta import write_meta

from sedcrnn.datasets.scenes import TAU_SCENES
from sedcrnn.submission.output import write_output

LABEL = "Naranjo-Alcazar_ITI_task1b_2"


@pytest.fixture
def meta():
    return {
        "submission": {
            "label": LABEL,
            "name": "Squeeze-excitation CRNN",
            "abbreviation": "SE-CRNN",
            "authors": [
                {
                    "lastname": "Naranjo-Alcázar",
                    "firstname": "Javier",
                    "email": "javier@example.org",
                    "affiliation": {"abbreviation": "ITI", "institute": "An institute", "location": "València, Spain"},
                    "corresponding": True,
                },
                {
                    "lastname": "Perez-Castanos",
                    "firstname": "Sergi",
                    "email": "sergi@example.org",
                    "affiliation": {
                        "abbreviation": "V",
                        "institute": "A company",
                        "department": "Research",
                        "location": "Burjassot, Spain",
                    },
                },
            ],
        },
        "system": {
            "description": {
                "input_channels": ["left", "right", "difference"],
                "input_sampling_rate": "44.1kHz",
                "acoustic_features": "gammatone",
                "audio_embeddings": None,
                "visual_embeddings": "VGG16",
                "data_augmentation": "mixup",
                "machine_learning_method": ["CNN", "RNN"],
                "ensemble_method_subsystem_count": None,
                "modality_combination": "late fusion",
                "decision_making": None,
                "external_data_usage": "pre-trained model",
            },
            "complexity": {
                "total_parameters": 15_416_148,
                "total_parameters_audio": 323_274,
                "total_parameters_visual": 14_820_170,
            },
            "external_datasets": [
                {"name": "Places365", "url": "http://places2.csail.mit.edu", "total_audio_length": 0}
            ],
            "source_code": None,
        },
        "results": {
            "development_dataset": {
                "overall": {"logloss": 0.658, "accuracy": 77.0},
                # The published baseline.
                "class_wise": {
                    scene: {"logloss": log_loss, "accuracy": accuracy}
                    for scene, log_loss, accuracy in zip(
                        TAU_SCENES,
                        [0.963, 0.396, 0.541, 0.565, 0.710, 0.732, 0.839, 0.877, 0.296, 0.659],
                        [66.8, 85.9, 80.4, 80.8, 77.2, 71.1, 72.6, 72.7, 89.6, 73.1],
                        strict=True,
                    )
                },
            }
        },
    }


@pytest.fixture
def folder(tmp_path: Path, meta) -> Path:
    folder = tmp_path / "task1" / LABEL
    probabilities = torch.rand(12, 10, generator=torch.Generator().manual_seed(0)).log_softmax(-1).exp()
    write_output(output_file(folder), [str(number) for number in range(12)], probabilities)
    write_meta(meta_file(folder), meta)
    return folder
