"""What each page shows, as frozen dataclasses that pure functions make of the store's rows."""
