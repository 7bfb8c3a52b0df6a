"""What `zoo sample` reads and writes: files of prompts, pictures, arrays, folders, sidecars."""
