// Ask the inspector's API; an inspector that is gone answers with a sentence too.

export async function ask(method, path, content) {
  try {
    const response = await fetch(path, { method, body: JSON.stringify(content) });
    return { ok: response.ok, answer: await response.json() };
  } catch {
    return { ok: false, answer: { error: "The inspector does not answer." } };
  }
}
