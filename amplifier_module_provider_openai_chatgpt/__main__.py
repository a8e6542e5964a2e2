"""``python -m amplifier_module_provider_openai_chatgpt``: the same as the console script."""

from .cli import main

if __name__ == "__main__":
    main()
