; Definitions, documentation, imports and the types of variables. Captures: see backstory/graph/parse.py.

(class_declaration name: (identifier) @name) @class
(class_declaration name: (identifier) @name body: (_) @body) @class
(struct_declaration name: (identifier) @name) @class
(struct_declaration name: (identifier) @name body: (_) @body) @class
(record_declaration name: (identifier) @name) @class
(record_declaration name: (identifier) @name body: (_) @body) @class
(interface_declaration name: (identifier) @name body: (_) @body) @class
(enum_declaration name: (identifier) @name body: (_) @body) @class
(delegate_declaration name: (identifier) @name) @class
(method_declaration name: (identifier) @name) @function
(method_declaration name: (identifier) @name body: (_) @body) @function
(constructor_declaration name: (identifier) @name body: (_) @body) @function
(local_function_statement name: (identifier) @name body: (_) @body) @function
(property_declaration name: (identifier) @name accessors: (_) @body) @function
(property_declaration name: (identifier) @name value: (_) @body) @function

((comment) @doc (#match? @doc "^(///|/\\*\\*)"))

(namespace_declaration name: (_) @package)
(file_scoped_namespace_declaration name: (_) @package)

(using_directive !name [(identifier) (qualified_name)] @import.module) @import.star @import
(using_directive name: (identifier) @import.alias (qualified_name qualifier: (_) @import.module name: (identifier) @import.name)) @import
(using_directive name: (identifier) @import.alias . (identifier) @import.name) @import

(field_declaration (variable_declaration type: (_) @type (variable_declarator name: (identifier) @typed.own)))
(property_declaration type: (_) @type name: (identifier) @typed.own)
(record_declaration (parameter_list (parameter type: (_) @type name: (identifier) @typed.own)))
(class_declaration (parameter_list (parameter type: (_) @type name: (identifier) @typed.own)))
(parameter type: (_) @type name: (identifier) @typed)
(local_declaration_statement (variable_declaration type: (_) @type (variable_declarator name: (identifier) @typed)))
(using_statement (variable_declaration type: (_) @type (variable_declarator name: (identifier) @typed)))
(variable_declaration type: (implicit_type) (variable_declarator name: (identifier) @typed (object_creation_expression type: (_) @type)))
(variable_declaration type: (implicit_type) (variable_declarator name: (identifier) @typed [
  (invocation_expression function: (_) @made)
  (await_expression (invocation_expression function: (_) @made))]))
(variable_declaration type: (implicit_type) (variable_declarator name: (identifier) @typed (cast_expression type: (_) @type)))
(variable_declaration type: (implicit_type) (variable_declarator name: (identifier) @typed (as_expression right: (_) @type)))
(foreach_statement type: (_) @type left: (identifier) @typed)
(catch_declaration type: (_) @type name: (identifier) @typed)
(declaration_pattern type: (_) @type name: (identifier) @typed)
(method_declaration returns: (_) @type name: (identifier) @returns)
(local_function_statement type: (_) @type name: (identifier) @returns)
(property_declaration type: (_) @type name: (identifier) @returns)
