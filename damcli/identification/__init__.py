"""1:N search: the gallery's people that look most like each probe, by cosine and by DAM."""
