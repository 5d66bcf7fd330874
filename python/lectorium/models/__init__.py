"""The models of the lectures. They compute and nothing else: no files, no data."""

from __future__ import annotations

from .adding_nets import AddingNet, AddingNets
from .alexnet import AlexNet
from .char_rnn import CharRNN
from .cifarnet import CifarNet
from .dcgan import DCGAN
from .densenet import DenseNet, DenseNet121
from .googlenet import GoogLeNet
from .hello_rnn import HelloRNN
from .lenet5 import LeNet5
from .logistic_regression import LogisticRegression
from .mlp import MLP
from .perceptron import Perceptron
from .resnet import ResNet18, ResNet34, ResNet50
from .resnet20 import ResNet20
from .resnext29 import ResNeXt29
from .sentiment_gru import SentimentGRU
from .seq2seq import Seq2Seq
from .speech_ctc import SpeechCTC
from .translator import Translator
from .unet import UNet
from .vae import VAE, vae_loss
from .vgg import VGG16
from .wavenet import WaveNet
from .xor_mlp import XorMLP

__all__ = [
    "DCGAN",
    "MLP",
    "VAE",
    "VGG16",
    "AddingNet",
    "AddingNets",
    "AlexNet",
    "CharRNN",
    "CifarNet",
    "DenseNet",
    "DenseNet121",
    "GoogLeNet",
    "HelloRNN",
    "LeNet5",
    "LogisticRegression",
    "Perceptron",
    "ResNeXt29",
    "ResNet18",
    "ResNet20",
    "ResNet34",
    "ResNet50",
    "SentimentGRU",
    "Seq2Seq",
    "SpeechCTC",
    "Translator",
    "UNet",
    "WaveNet",
    "XorMLP",
    "vae_loss",
]
