"""The Responses API's own terms as values. Pure; imports no other package of this project."""
