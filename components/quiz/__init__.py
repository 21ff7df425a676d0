"""The quiz tab: questions settled by live evidence, lessons, the summary, the glossary."""
