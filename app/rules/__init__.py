"""What we decide: integration, mapping, policy, contact body and the plan. Pure, no I/O."""
