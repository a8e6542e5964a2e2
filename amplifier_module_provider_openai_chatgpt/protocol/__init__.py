"""The Responses API's own words as values. Pure; imports no other package of this project."""
