"""A loop that asks a provider for budgets as Amplifier's newest streaming loop does, and its context.

Both methods are optional and found by name. A budget that is not usable ends the turn.
"""

import inspect

from amplifier_core.llm_errors import ContextLengthError
from amplifier_core.message_models import ChatRequest, Message

from tests.hosts import assistant_turn

OPTIONS = {"extended_thinking": True}
REBUILDS = 2


def size(messages):
    """Count as loops and contexts do: four characters are a token."""
    return sum(len(str(message)) // 4 for message in messages)


class ShorteningContext:
    """Keeps all messages, and shows as many of the newest as fit, shortening long tool results first."""

    def __init__(self, *messages):
        self.messages = list(messages)
        self.budgets = []

    def view(self, token_budget=None):
        if token_budget is None:
            return list(self.messages)
        self.budgets.append(token_budget)
        shown = [self._shortened(message, token_budget) for message in self.messages]
        while size(shown) > token_budget and len(shown) > 2:
            # The system message stays; a result goes with its call.
            del shown[1]
            while len(shown) > 2 and shown[1]["role"] == "tool":
                del shown[1]
        return shown

    @staticmethod
    def _shortened(message, token_budget):
        if message["role"] != "tool" or size([message]) < token_budget // 4:
            return message
        return {**message, "content": message["content"][: token_budget // 2] + " [shortened]"}


class BudgetLoop:
    """One turn at a time; ``asks_first`` is False for loops that only recover."""

    def __init__(self, provider, context, *, tools=None, asks_first=True):
        self.provider = provider
        self.context = context
        self.tools = tools
        self.asks_first = asks_first
        self.recoveries = 0

    async def say(self, prompt):
        self.context.messages.append({"role": "user", "content": prompt})
        messages = await self._fitting(self.context.view())
        try:
            response = await self._complete(messages)
        except ContextLengthError as error:
            response = await self._complete(await self._recovered(messages, error))
        self.context.messages.append(assistant_turn(response))
        return response.text

    def _request(self, messages):
        return ChatRequest(messages=[Message(**message) for message in messages], tools=self.tools)

    async def _complete(self, messages):
        return await self.provider.complete(self._request(messages), **OPTIONS)

    async def _ask(self, name, messages, *arguments):
        method = getattr(self.provider, name, None)
        if method is None:
            return None
        budget = method(
            self._request(messages),
            *arguments,
            context_estimate=size(messages),
            request_options=dict(OPTIONS),
        )
        return await budget if inspect.isawaitable(budget) else budget

    async def _fitting(self, messages):
        """Rebuild the view until it fits, at most twice, each time with a smaller budget."""
        last = None
        for _ in range(REBUILDS + 1):
            budget = await self._ask("request_budget", messages) if self.asks_first else None
            if budget is None and last is None:
                return messages
            if budget is None or not is_valid(budget):
                raise ContextLengthError("invalid budget decision, or none after a concrete one")
            if budget["estimated_input_tokens"] <= budget["input_limit_tokens"]:
                return messages
            if not 0 < budget["context_token_budget"] < (last or size(messages)):
                raise ContextLengthError("the budget cannot retain the request or would not reduce it")
            last = budget["context_token_budget"]
            messages = self.context.view(last)
        raise ContextLengthError("the request is too long after two rebuilds")

    async def _recovered(self, messages, error):
        budget = await self._ask("recover_context_overflow", messages, error)
        if budget is None or not is_valid(budget):
            raise error
        if budget["estimated_input_tokens"] <= budget["input_limit_tokens"]:
            raise error
        if not 0 < budget["context_token_budget"] < size(messages):
            raise error
        self.recoveries += 1
        return await self._fitting(self.context.view(budget["context_token_budget"]))


def is_valid(budget):
    """True for the dictionary that the loop reads; a boolean is not a number of tokens."""
    keys = ("estimated_input_tokens", "input_limit_tokens", "context_token_budget")
    return (
        isinstance(budget, dict)
        and all(type(budget.get(key)) is int and budget[key] >= 0 for key in keys)
        and budget["input_limit_tokens"] > 0
    )


class WithoutBudgets:
    """A provider as it was before these methods existed."""

    def __init__(self, provider):
        self.complete = provider.complete
