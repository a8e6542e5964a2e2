"""Entry of ``python -m amplifier_module_provider_openai_chatgpt``: the console script by another name."""

from .cli import main

if __name__ == "__main__":
    main()
