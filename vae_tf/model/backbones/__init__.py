"""Network families. A backbone makes a matching encoder and decoder as plain Keras models."""

from typing import Protocol

import keras


class Backbone(Protocol):
    """A family of networks for pictures of one shape."""

    def encoder(self, params_size: int) -> keras.Model:
        """Returns the network from pictures `(B, H, W, C)` to float32 `(B, params_size)`."""
        ...

    def decoder(self, latent_dim: int, params_channels: int) -> keras.Model:
        """Returns the network from latents `(B, Z)` to float32 `(B, H, W, params_channels)`."""
        ...
