"""amplifier-core's own tests of a provider, signed in against the simulator."""

from amplifier_core.validation.behavioral import ProviderBehaviorTests
from amplifier_core.validation.structural import ProviderStructuralTests


class TestBehaviour(ProviderBehaviorTests):
    """What amplifier-core expects of every provider."""


class TestStructure(ProviderStructuralTests):
    """What amplifier-core's validator checks before it mounts a provider."""
