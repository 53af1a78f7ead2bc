package api

// Default fills in what may be left out.
func (h *HotPatch) Default() {
	if h.Metadata.Namespace == "" {
		h.Metadata.Namespace = "default"
	}
	r := &h.Spec.Rollout
	for field, value := range map[*IntOrPercent]IntOrPercent{
		&r.Partition:      Count(0),
		&r.MaxConcurrent:  Percent(25),
		&r.MaxUnavailable: Percent(25),
	} {
		if !field.Set {
			*field = value
		}
	}
}
