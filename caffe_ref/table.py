"""The table of the three networks' layers, from the image to the output.

A layer is a tuple: ("conv", name, geometry, weight filler, bias filler, relu), ("pool", name, parameters),
("norm", name, parameters) or ("fc", name, outputs, weight filler, bias filler, hidden).
Source: paper section 3 and supplement table 5; BVLC's AlexNet; upstream's prototxts.
"""

XAVIER = {"type": "xavier"}
ZERO = {"type": "constant"}


def _gaussian(std):
    """Return a gaussian filler."""
    return {"type": "gaussian", "std": std}


def _constant(value):
    """Return a constant filler."""
    return {"type": "constant", "value": value}


def _conv(name, out, kernel, stride=1, pad=0, group=1, weight=XAVIER, bias=ZERO, relu=True):
    """Return a convolution."""
    return ("conv", name, dict(out=out, kernel=kernel, stride=stride, pad=pad, group=group), weight, bias, relu)


def _pool(name, kernel, stride):
    """Return a max pooling."""
    return ("pool", name, {"pool": "MAX", "kernel_size": kernel, "stride": stride})


def _norm(name):
    """Return a local response normalisation."""
    return ("norm", name, {"local_size": 5, "alpha": 1e-4, "beta": 0.75})


def _fc(name, out, weight=XAVIER, bias=ZERO, hidden=True):
    """Return a fully-connected layer; hidden layers have a ReLU and dropout."""
    return ("fc", name, out, weight, bias, hidden)


def _vgg16():
    """Return the layers of VGG-16."""
    table = []
    for block, (width, convs) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], start=1):
        table += [_conv(f"conv{block}_{i}", width, 3, pad=1) for i in range(1, convs + 1)]
        table.append(_pool(f"pool{block}", 2, 2))
    return [*table, _fc("fc6", 4096), _fc("fc7", 4096), _fc("fc8", 1, hidden=False)]


def _alexnet():
    """Return the layers of AlexNet."""
    g, g5, bias_one = _gaussian(0.01), _gaussian(0.005), _constant(0.1)
    return [
        _conv("conv1", 96, 11, stride=4, weight=g), _norm("norm1"), _pool("pool1", 3, 2),
        _conv("conv2", 256, 5, pad=2, group=2, weight=g, bias=bias_one), _norm("norm2"), _pool("pool2", 3, 2),
        _conv("conv3", 384, 3, pad=1, weight=g),
        _conv("conv4", 384, 3, pad=1, group=2, weight=g, bias=bias_one),
        _conv("conv5", 256, 3, pad=1, group=2, weight=g, bias=bias_one), _pool("pool5", 3, 2),
        _fc("fc6", 4096, g5, bias_one), _fc("fc7", 4096, g5, bias_one), _fc("fc8", 1, g, hidden=False),
    ]  # fmt: skip


def _shallow():
    """Return the layers of the paper's Shallow network."""
    return [
        _conv("conv1", 32, 3), _pool("pool1", 4, 4),
        _conv("conv2", 32, 3), _pool("pool2", 4, 4),
        _conv("conv3", 32, 3), _conv("conv4", 32, 12, relu=False),
        _fc("fc1", 1, hidden=False),
    ]  # fmt: skip


TABLE = {"vgg16": _vgg16(), "alexnet": _alexnet(), "shallow": _shallow()}
CROP = {"vgg16": 224, "alexnet": 227, "shallow": 227}
