"""The models of the zoo: LightningModules over one base."""
